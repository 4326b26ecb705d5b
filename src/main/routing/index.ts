export { type AgentNames, agentNames } from './names.ts';
export {
  DEFAULT_RULES,
  type RouteRejection,
  type RouteResult,
  type RouteTargets,
  type Router,
  compileRoutes,
} from './routes.ts';
