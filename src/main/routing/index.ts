export { type AgentNames, agentNames } from './names.ts';
export { type RouteResult, type Router, compileRoutes } from './routes.ts';
